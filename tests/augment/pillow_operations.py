"""The operations of RandAugment on one picture, written with Pillow alone."""

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

ENHANCERS = {
    "Brightness": ImageEnhance.Brightness,
    "Color": ImageEnhance.Color,
    "Contrast": ImageEnhance.Contrast,
    "Sharpness": ImageEnhance.Sharpness,
}


def to_pillow(pixels):
    """A picture of uint8 [H, W, Ch]."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_pixels(picture):
    """uint8 [H, W, Ch] of a picture."""
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def filled(picture, fill):
    """The colour of `fill` in the mode of the picture."""
    return (fill,) * len(picture.getbands()) if len(picture.getbands()) > 1 else fill


def moved(picture, name, magnitude, fill):
    width, height = picture.size
    if name == "Rotate":
        return picture.rotate(magnitude, fillcolor=filled(picture, fill))
    matrix = {
        "ShearX": (1, magnitude, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, magnitude, 1, 0),
        "TranslateX": (1, 0, magnitude * width, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, magnitude * height),
        "TranslateXPixels": (1, 0, magnitude, 0, 1, 0),
        "TranslateYPixels": (1, 0, 0, 0, 1, magnitude),
    }[name]
    affine = Image.Transform.AFFINE
    return picture.transform(picture.size, affine, matrix, fillcolor=filled(picture, fill))


def cut(picture, side, place, color):
    """`side` pixels about the fraction `place` (y, x) of the way from the far edge to 1."""
    width, height = picture.size
    y, x = height + (1 - height) * place[0], width + (1 - width) * place[1]
    left, top = int(max(0, x - side / 2)), int(max(0, y - side / 2))
    box = (left, top, min(width, left + side), min(height, top + side))
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle(box, color)
    return picture


def change(picture, name, magnitude, fill=0, place=None, color=None):
    """The picture after one operation of that name."""
    if name in ENHANCERS:
        return ENHANCERS[name](picture).enhance(magnitude)
    if name == "Cutout":
        return cut(picture, magnitude, place, color)
    if name == "SolarizeAdd":
        added = np.minimum(np.asarray(picture).astype(int) + int(magnitude), 255)
        return ImageOps.solarize(Image.fromarray(added.astype(np.uint8)), 128)
    plain = {
        "AutoContrast": lambda: ImageOps.autocontrast(picture),
        "Equalize": lambda: ImageOps.equalize(picture),
        "Identity": lambda: picture,
        "Invert": lambda: ImageOps.invert(picture),
        "Posterize": lambda: ImageOps.posterize(picture, max(1, int(magnitude))),
        "Solarize": lambda: ImageOps.solarize(picture, magnitude),
    }
    if name in plain:
        return plain[name]()
    return moved(picture, name, magnitude, fill)
