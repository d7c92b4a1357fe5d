"""Curation of image–text pairs by balancing (MetaCLIP: Xu et al., 2024, arXiv:2309.16671).

Captions are matched with a list of queries, the matches of each query are counted, and pairs are sampled so that a
query keeps about `max_per_query` of its matches: frequent queries (the head) lose most of theirs, rare ones (the tail)
none.
"""
