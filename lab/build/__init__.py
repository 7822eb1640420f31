"""What a lab is made of, made once per user: programs from Go modules, files of them, images."""
