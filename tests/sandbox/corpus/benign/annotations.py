# ok
from typing import Any, Dict, List, Optional
def answer(image: "Image") -> List[Region]:
    found: List[Region] = detect(image, "cat")
    counts: Dict[str, int] = {}
    limit: Optional[int]
    for r in found:
        counts[r.label] = counts.get(r.label, 0) + 1
    return [counts, len(found)]
