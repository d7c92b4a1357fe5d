# ok
log = []
def t(x):
    log.append(x)
    return x
d = {}
d[t("k")] = t("v")
xs = [0, 0, 0]
xs[t(1)] += t(5)
xs[t(2)] *= t(3)
ys = [[1, 2]]
ys[t(0)][t(1)] **= t(2)
r = t(2) * t(3) + t(4) ** t(2) % t(5)
def f(a=t("default"), b=t("d2")):
    return a
f(t("x"), b=t("y"))
z = t(1) < t(0) < t(9)
w = {t("a"): t(1), t("b"): t(2)}
s = f"{t(1)}{t(2)!r:{t(5)}}"
result = log, xs, ys, r, w, s
