"""The vision tools, one file per family."""

MODULES = (
    "detect",
    "select",
    "faces",
    "segment",
    "classify",
    "retrieve",
    "cupl",
    "caption",
    "vqa",
    "text",
    "crop",
    "color",
    "shapes",
    "edit",
    "inpaint",
    "generate",
    "video",
)
"""The modules that declare tools, in the order in which planners and people are shown them."""
