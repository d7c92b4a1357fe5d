# ok
def iou(a, b):
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[2], b[2]), min(a[3], b[3])
    inter = max(0, right - left) * max(0, bottom - top)
    area = lambda r: (r[2] - r[0]) * (r[3] - r[1])
    union = area(a) + area(b) - inter
    return inter / union if union else 0.0
def answer(image):
    return round(iou((0, 0, 10, 10), (5, 5, 15, 15)), 4), iou((0, 0, 1, 1), (2, 2, 3, 3))
