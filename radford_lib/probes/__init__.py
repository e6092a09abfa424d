"""What representations are worth: linear probes, nearest neighbours, kernel distances, controls."""
