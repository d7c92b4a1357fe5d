"""Chat models, behind one small protocol. They know neither planners nor tools."""
