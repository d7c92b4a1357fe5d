# killed sequence
result = format(1, "٩٩٩٩٩٩٩٩٩")
