"""Questions for planners: images made for each question, on which a right program answers right."""
