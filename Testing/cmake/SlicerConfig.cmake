# Stands in for a build of Slicer 5.12 when the extension is configured by the tests, so that `find_package(Slicer)`,
# the module macros and the installation can be tried where there is no Slicer. What the macros accept, refuse, copy and
# install follows Slicer's; byte compiling and packing are left out.

# Slicer compares the size of a pointer with its own, and VTK and ITK need both languages.
get_property(_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(NOT "C" IN_LIST _languages OR NOT "CXX" IN_LIST _languages)
  message(FATAL_ERROR "find_package(Slicer) needs project() before it, with the languages C and CXX (the default)")
endif()

set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 12)
set(Slicer_REVISION "standin")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_EXTENSIONS_DIRBASENAME "Extensions")

set(Slicer_LIB_DIR "lib/Slicer-${Slicer_VERSION_MAJOR}.${Slicer_VERSION_MINOR}")
set(Slicer_SHARE_DIR "share/Slicer-${Slicer_VERSION_MAJOR}.${Slicer_VERSION_MINOR}")
set(Slicer_QTSCRIPTEDMODULES_SUBDIR "qt-scripted-modules")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_LIB_DIR}/${Slicer_QTSCRIPTEDMODULES_SUBDIR}")
set(Slicer_INSTALL_ROOT "")
if(APPLE)
  set(Slicer_INSTALL_ROOT "Slicer.app/Contents/")
endif()

# A program that is called as the Slicer executable is; without one the tests are listed but cannot run.
set(Slicer_LAUNCHER_EXECUTABLE "Slicer" CACHE STRING "program that runs the registered tests")

set(Slicer_CMAKE_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(Slicer_USE_FILE "${Slicer_CMAKE_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${Slicer_CMAKE_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${Slicer_CMAKE_DIR}/ExtensionCPack.cmake")
