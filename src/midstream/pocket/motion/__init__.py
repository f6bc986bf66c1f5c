"""The pocket world of motion: short clips of one to three objects that move, wait, meet and part."""
