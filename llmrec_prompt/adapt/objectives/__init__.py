"""What training can aim at besides `encode`: a module an objective."""
