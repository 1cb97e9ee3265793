# Slicer refuses an extension without these.
foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  recordPackaged(metadata "EXTENSION_${name}" "${EXTENSION_${name}}")
endforeach()
