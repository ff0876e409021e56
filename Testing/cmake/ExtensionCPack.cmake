# Stands in for ${Slicer_EXTENSION_CPACK}: checks the files of the package and installs the description that the
# Extensions Manager shows.

foreach(name README LICENSE)
  if(NOT EXISTS "${EXTENSION_${name}_FILE}")
    message(FATAL_ERROR "EXTENSION_${name}_FILE points to an inexistent file: ${EXTENSION_${name}_FILE}")
  endif()
endforeach()

set(_description "")
foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if(NOT EXTENSION_${name})
    message(FATAL_ERROR "EXTENSION_${name} is empty")
  endif()
  list(LENGTH EXTENSION_${name} _parts)
  if(_parts GREATER 1)
    message(FATAL_ERROR "EXTENSION_${name} holds a semicolon: CMake takes it for a list, and cuts the text there")
  endif()
  string(TOLOWER "${name}" _key)
  string(REPLACE "\n" "<br>" _text "${EXTENSION_${name}}")
  string(APPEND _description "${_key} ${_text}\n")
endforeach()

file(WRITE "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext" "${_description}")
install(FILES "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext" COMPONENT RuntimeLibraries
  DESTINATION "${Slicer_INSTALL_ROOT}${Slicer_BUNDLE_EXTENSIONS_LOCATION}${Slicer_SHARE_DIR}")
