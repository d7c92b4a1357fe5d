# error AttributeError
result = getattr((i for i in [1]), "gi_frame")
