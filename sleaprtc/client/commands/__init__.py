"""The client's commands, one module a subject; what they do is told by the modules beside this folder."""
