# rejected forbidden-name
result = __𝓲mport__("os")
