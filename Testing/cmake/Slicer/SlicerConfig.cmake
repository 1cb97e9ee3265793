# Stand-in for Slicer's build system: the macros that an extension calls record what would be packaged, and check what
# Slicer checks. Tests configure the project with -DSlicer_DIR=<this folder> and read ${CMAKE_BINARY_DIR}/packaged.txt,
# one line an entry: KIND|what|where.
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.13/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.13/qt-scripted-modules")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_FOUND TRUE)
