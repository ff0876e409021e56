# Stands in for slicer_add_python_unittest and slicer_add_python_test: registers the tests with CTest.

function(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  get_filename_component(name "${TEST_SCRIPT}" NAME_WE)
  _standin_add_test("${TEST_TESTNAME_PREFIX}" "${name}" ${TEST_SLICER_ARGS} --python-code
    "import slicer.testing\nslicer.testing.runUnitTest(['${CMAKE_CURRENT_SOURCE_DIR}'], '${name}')")
endfunction()

function(slicer_add_python_test)
  cmake_parse_arguments(TEST "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS;SCRIPT_ARGS" ${ARGN})
  get_filename_component(name "${TEST_SCRIPT}" NAME_WE)
  get_filename_component(script "${TEST_SCRIPT}" ABSOLUTE)
  _standin_add_test("${TEST_TESTNAME_PREFIX}" "${name}" ${TEST_SLICER_ARGS} --python-script
    "${script}" ${TEST_SCRIPT_ARGS})
endfunction()

function(_standin_add_test prefix name)
  add_test(NAME "py_${prefix}${name}" COMMAND "${Slicer_LAUNCHER_EXECUTABLE}" --no-splash --testing
    --additional-module-paths "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}" ${ARGN})
  set_tests_properties("py_${prefix}${name}" PROPERTIES RUN_SERIAL TRUE)
endfunction()
