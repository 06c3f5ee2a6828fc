"""What can keep a resource from working on this node: each precondition is a check. Changes nothing by itself."""
