"""The car from above as an image, drawn with numpy alone: `raster` fills shapes, `lettering` writes, the rest is the car."""
