# ok
def answer(image):
    graph = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
    queue, seen = ["a"], []
    while queue:
        node = queue.pop(0)
        if node in seen:
            continue
        seen.append(node)
        queue.extend(graph[node])
    return seen
