# Stands in for ${Slicer_EXTENSION_GENERATE_CONFIG}: the file by which another extension finds this one.

file(WRITE "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}Config.cmake"
  "set(${EXTENSION_NAME}_SOURCE_DIR \"${${EXTENSION_NAME}_SOURCE_DIR}\")\n")
