"""What a file is that cannot be read as an image, by its first bytes, and what to do with it."""

from __future__ import annotations

import re

_CONVERT = "convert it to PNG or JPEG"
_FRAME = "save the frame that you mean as an image"

_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, way_out)
    for pattern, what, way_out in (
        (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "a HEIC image", _CONVERT),
        (rb".{4}ftypcrx|(II\*\0|MM\0\*).{4}CR|FUJIFILMCCD|II(RO|RS|U\0)", "a raw photograph", _CONVERT),
        (rb"\0{3}\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", _CONVERT),
        (rb"\0{3}\x0cJXL |\xff\x0a", "a JPEG XL image", _CONVERT),
        (rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]|FLV\x01|OggS|\x30\x26\xb2\x75|.{4}moov",
         "a video", _FRAME),
        (rb".{0,1019}%PDF-", "a PDF document", "save the page that you mean as PNG"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file (EPS)", "convert it to PNG"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,900}|<!--.{0,900}|<!DOCTYPE svg.{0,900})?<svg[\s>]|\x1f\x8b.{1,40}\.svg",
         "a drawing in SVG", "convert it to PNG"),
        (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF|\x01\0\x09\0\0", "a Windows metafile", "convert it to PNG"),
        (rb"8BPS", "a Photoshop file", _CONVERT),
        (rb"gimp xcf", "a GIMP file", _CONVERT),
        (rb"\0\0[\x01\x02]\0", "an icon", "convert it to PNG"),
        (rb"icns", "an icon", "convert it to PNG"),
        (rb"qoif|DDS |\x76\x2f\x31\x01|\x0a[\0-\x05]\x01[\x01-\x08]|\x01\xda|#\?RADIANCE|/\* XPM|#define \w+_width",
         "an image of a rare format", _CONVERT),
        (rb".{128}DICM|SIMPLE  =", "a scientific image (DICOM, FITS)", _CONVERT),
        (rb"\x93NUMPY", "an array of NumPy", "load it with numpy.load, and give the array"),
        (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ", "an archive", "unpack it"),
        (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
        (rb"\s*(<!doctype html|<html)", "a web page", "save the image itself"),
    )
)  # fmt: skip

_READ = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{12}|P[1-7fFy]\s|RIFF.{4}WEBP|II\*\0|MM\0\*|II\+\0|MM\0\+|.{4}ftypavi[fs]",
    re.DOTALL,
)
"""Beginnings of the formats that are read."""


def describe(data: bytes) -> str:
    """What these bytes are, in words that follow the name of the file, with the way out."""
    start = data[:1024]
    for pattern, what, way_out in _SIGNATURES:
        if pattern.match(start):
            return f"is {what}, which is not read: {way_out}"
    if _READ.match(start):
        return "is broken, or of a rare variant of its format: convert it to PNG or JPEG"
    return "is not an image of a format that can be read"
