"""Type inference over programs: one abstract interpretation that finds what cannot work before it runs."""
