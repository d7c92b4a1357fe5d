# ok
xs = ["pear", "fig", "apple"]
xs.sort(key=len, reverse=True)
ys = [3, 1, 2]
ys.sort()
zs = list(reversed(ys))
xs.insert(1, "kiwi"); xs.extend(["a", "b"]); xs.remove("a")
result = [xs, ys, zs, xs.index("fig"), xs.count("b"), xs.pop(), xs.pop(0), xs]
