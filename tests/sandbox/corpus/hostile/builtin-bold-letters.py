# rejected forbidden-name
result = 𝓮𝓿𝓪𝓵("1")
