"""A trainer that runs sleap-nn: it judges what a stranger sent, plans the work, and runs it in a process."""
