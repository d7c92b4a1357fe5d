# rejected forbidden-import
import socket
result = socket.socket()
