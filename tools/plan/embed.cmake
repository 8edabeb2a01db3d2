# Writes files as {"name", R"(text)"} lines for knownCluster().
set(lines "")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(APPEND lines "{\"${name}\", R\"cluster(${text})cluster\"},\n")
endforeach()
file(WRITE ${OUTPUT} "${lines}")
