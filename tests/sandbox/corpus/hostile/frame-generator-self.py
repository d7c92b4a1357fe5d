# rejected forbidden-attribute
g = (g.gi_frame.f_back for _ in [1])
result = [x for x in g][0]
