"""How often a detector of one's own counts a kind of thing right, over the photographs of a split.

python benchmarks/counting.py bccd.zip runs/cells/best WBC "white blood cells"
"""

from __future__ import annotations

import argparse

from visprog.tools.backends.owl import OwlDetector
from visprog.training.data import read_voc
from visprog.values.image import Image


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder or zip in the layout of Pascal VOC")
    parser.add_argument("model", help="folder of the detector")
    parser.add_argument("label", help="of the things, in the data")
    parser.add_argument("phrase", help="that the detector is asked for")
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    detector, found = OwlDetector(arguments.model), read_voc(arguments.data, arguments.split)
    right = 0
    for i in range(len(found)):
        photograph = found[i]
        (regions,) = detector([{"image": Image(photograph.image), "what": arguments.phrase}])
        if isinstance(regions, Exception):
            raise regions
        right += len(regions) == photograph.labels.count(arguments.label)
    print(
        f"{arguments.phrase}: counted right in {right} of {len(found)} photographs, {right / len(found):.1%}"
    )


if __name__ == "__main__":
    main()
