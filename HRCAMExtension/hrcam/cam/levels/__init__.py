"""The levels of a CNN: the last feature map at each resolution, found by one traced run (`find.find_levels`)."""
