# rejected forbidden-attribute
g = (1 for _ in [1])
result = g.gi_frame.f_back.f_globals
