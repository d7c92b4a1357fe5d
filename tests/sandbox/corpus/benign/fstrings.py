# ok
name, v, w = "cat", 3.14159, 12
result = [f"{name}", f"{v:.2f}", f"{w:05d}", f"{name!r}", f"{name!s:>10}", f"{v:{w}.3f}", f"{w:,}", f"{1234567:,}", f"{0.256:.1%}", f"{w=}", f"{v=:.1f}", f"{name=!s}",
          f"{w:x} {w:b} {w:o} {w:#x}", f"{name:^9}|", f"{name:*<9}|", f"{{literal}}", f"{'a' if w > 3 else 'b'}", f"{[i for i in range(3)]}", f"{w!r:>5}", f"{v:e}", f"{w:+d}", f"{name:{'>'}{10}}", f"{ {'k': 1}['k'] }", f"{v!r:{w}}", f"{w:{'0'}{4}d}", f"{name!a:>{w + 1}}", f"{v:>{w}.{2}f}", f"{(lambda x: x + 1)(2)}", f"{w:n}", f"{w:c}", f"{1e10:g}"]
