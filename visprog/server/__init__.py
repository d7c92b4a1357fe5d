"""The local server: models and sandbox workers that stay warm, behind HTTP. `visprog serve` starts it.

`app` holds the endpoints, `line` who may work and who waits, `guard` who may come in, `forms` how requests are
read, `client` the other end. Nothing here is imported before it is needed.
"""
