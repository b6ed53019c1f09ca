"""Networks: how they are built, stored, found by a specification and asked for predictions."""
