"""The embedded planner's training: a grammar of questions and the programs that answer them."""
