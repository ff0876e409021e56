"""Our implementation of ``slicer.parameterNodeWrapper``; `NAMES` are what that module offers."""

from host.parameters.annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    SingleStep,
    Validator,
    WithinRange,
)
from host.parameters.connectors import GuiConnector, createGuiConnector
from host.parameters.containers import ObservedDict, ObservedList
from host.parameters.packs import FloatRange, isParameterPack, nestedParameterNames, parameterPack
from host.parameters.wrapper import findChildWidgetForParameter, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "GuiConnector",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "ObservedDict",
    "ObservedList",
    "RangeBounds",
    "SingleStep",
    "Validator",
    "WithinRange",
    "createGuiConnector",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "isParameterPack",
    "nestedParameterNames",
    "parameterNodeWrapper",
    "parameterPack",
]
