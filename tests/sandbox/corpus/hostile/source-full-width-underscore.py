# rejected syntax-error
result = ().＿＿class＿＿
