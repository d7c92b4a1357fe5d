"""The geometry of drawings: from flat colours and strokes to lines, circles, polygons, grids and panels."""
