"""What stored episodes of VehicleWorld say: the tables of its paper and stricter ones, and blocks for transcripts."""
