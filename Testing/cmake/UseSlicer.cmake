# Stands in for ${Slicer_USE_FILE}: the name of the extension, where it is installed, and the module macros.

if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME "${PROJECT_NAME}")
endif()
if(EXTENSION_NAME MATCHES "^$|^Slicer$|^Project$")
  message(FATAL_ERROR "call project(<name of the extension>) before include(\${Slicer_USE_FILE})")
endif()

set(Slicer_BUNDLE_EXTENSIONS_LOCATION "")
if(APPLE)
  set(Slicer_BUNDLE_EXTENSIONS_LOCATION "${Slicer_EXTENSIONS_DIRBASENAME}-${Slicer_REVISION}/${EXTENSION_NAME}/")
endif()
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR
  "${Slicer_INSTALL_ROOT}${Slicer_BUNDLE_EXTENSIONS_LOCATION}${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")

# What an extension does not say of itself is taken from Slicer, its licence too.
foreach(name README LICENSE)
  if(NOT DEFINED EXTENSION_${name}_FILE)
    message(WARNING "EXTENSION_${name}_FILE is not set: the package would carry the ${name} of Slicer itself")
    set(EXTENSION_${name}_FILE "${CMAKE_CURRENT_LIST_FILE}")
  endif()
endforeach()

include(CTest)
include("${Slicer_CMAKE_DIR}/ScriptedModule.cmake")
include("${Slicer_CMAKE_DIR}/PythonTesting.cmake")
