# Stands in for slicerMacroBuildScriptedModule: checks its words, copies every listed file into the build tree under the
# path it was listed with, and installs that tree.

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR
      "Unknown keywords given to slicerMacroBuildScriptedModule(): \"${MODULE_UNPARSED_ARGUMENTS}\"")
  endif()
  foreach(word NAME SCRIPTS)
    if(NOT MODULE_${word})
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(): ${word} is mandatory")
    endif()
  endforeach()
  if(MODULE_WITH_SUBDIR)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule(): WITH_SUBDIR is not stood in for")
  endif()

  _standin_check_listed_files(SCRIPTS ${MODULE_SCRIPTS})
  _standin_check_listed_files(RESOURCES ${MODULE_RESOURCES})
  _standin_with_py_suffix(scripts ${MODULE_SCRIPTS})
  _standin_copy_files(Copy${MODULE_NAME}PythonScriptFiles ${scripts})
  _standin_copy_files(Copy${MODULE_NAME}PythonResourceFiles ${MODULE_RESOURCES})

  # The slash: what is in the folder, so that the files of all modules lie side by side.
  install(DIRECTORY "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" COMPONENT RuntimeLibraries USE_SOURCE_PERMISSIONS)

  if(BUILD_TESTING AND MODULE_WITH_GENERIC_TESTS)
    slicer_add_python_unittest(SCRIPT qSlicer${MODULE_NAME}ModuleGenericTest.py TESTNAME_PREFIX nomainwindow_
      SLICER_ARGS --no-main-window --disable-cli-modules)
  endif()
endfunction()

function(_standin_check_listed_files keyword)
  foreach(file IN LISTS ARGN)
    if(IS_ABSOLUTE "${file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(${keyword}): absolute paths are not stood in for: '${file}'")
    endif()
    set(path "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${path}" AND NOT EXISTS "${path}.py")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(${keyword}) given nonexistent file or directory '${file}'")
    endif()
  endforeach()
endfunction()

# Scripts may be listed without their suffix.
function(_standin_with_py_suffix output)
  set(scripts)
  foreach(file IN LISTS ARGN)
    get_filename_component(suffix "${file}" EXT)
    if(NOT suffix MATCHES "py")
      string(APPEND file ".py")
    endif()
    list(APPEND scripts "${file}")
  endforeach()
  set(${output} "${scripts}" PARENT_SCOPE)
endfunction()

function(_standin_copy_files target)
  set(copies)
  foreach(file IN LISTS ARGN)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    set(copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}")
    add_custom_command(OUTPUT "${copy}" DEPENDS "${source}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${source}" "${copy}" COMMENT "Copying ${file}")
    list(APPEND copies "${copy}")
  endforeach()
  if(copies)
    add_custom_target(${target} ALL DEPENDS ${copies})
  endif()
endfunction()
