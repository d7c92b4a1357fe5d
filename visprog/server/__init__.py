"""The local server: models and sandbox workers that stay warm, behind HTTP. `visprog serve` starts it.

`app` holds the endpoints, `queue` the queue of requests, `guard` the access control, `forms` the parsing of requests,
`streams` the answers as events, `chats` the conversations, `page` the page for people, `client` the client. Nothing
here is imported before it is needed.
"""
