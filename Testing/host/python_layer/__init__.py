"""Slicer's Python layer and PythonQt's way of speaking to Qt, over PySide6."""
