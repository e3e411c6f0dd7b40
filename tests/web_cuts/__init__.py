"""Stock web clients whose connections are cut: nothing is lost, and nothing comes twice."""
