# rejected forbidden-attribute
result = print.__self__.__init__.__globals__
