"""The vision tools, one file per family."""

MODULES = (
    "detect",
    "select",
    "point",
    "faces",
    "segment",
    "classify",
    "retrieve",
    "cupl",
    "caption",
    "vqa",
    "text",
    "world",
    "crop",
    "color",
    "depth",
    "shapes",
    "measure",
    "compare",
    "documents",
    "edit",
    "transform",
    "inpaint",
    "generate",
    "video",
)
"""The modules that declare tools, in the order in which planners and people are shown them."""
