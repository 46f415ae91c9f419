"""Clothing: phone photos of clothes, garment and size of the wearer, from JPEG files and a CSV file."""
