use super::*;

fn node(key: &str, action: NodeAction) -> PlanNode {
    let base = Base { graph_id: "g".to_owned(), fingerprint: Fingerprint::of(&json!({"a": 1})) };
    let wanted = PayloadRef { id: "p".to_owned(), sha256: "00".repeat(32) };
    PlanNode {
        key: key.to_owned(),
        policy_type: PolicyType::new("deviceConfiguration").unwrap(),
        name: Some("Wi-Fi".to_owned()),
        action,
        base: (action != NodeAction::Create).then_some(base),
        parent: None,
        wanted: Some(wanted),
        binds: Vec::new(),
    }
}

fn plan(nodes: Vec<PlanNode>) -> RestorePlan {
    RestorePlan {
        entra_tenant_id: Uuid::from_u128(7),
        nodes,
        enabled_types: BTreeSet::new(),
        stop_on_failure: false,
    }
}

#[test]
fn a_frozen_plan_reads_back_from_its_bytes() {
    let mut bound = node("b", NodeAction::Create);
    bound.binds = vec![Bind { pointer: "/assignments/0/target".to_owned(), node: "a".to_owned() }];
    bound.parent = Some("parent".to_owned());
    let nodes = vec![
        node("a", NodeAction::Update),
        bound,
        node("c", NodeAction::Unchanged),
        node("d", NodeAction::Blocked(ReasonCode::PermissionMissing)),
        node("e", NodeAction::PreviewOnly),
    ];
    let now = Timestamp::from_micros(5);
    let frozen = plan(nodes).freeze(now).unwrap();
    assert_eq!(frozen.expires_at(), now.plus(Duration::from_mins(30)));
    let bytes = frozen.bytes().to_vec();
    assert_eq!(FrozenPlan::read(bytes, frozen.hash(), frozen.expires_at()), Ok(frozen.clone()));
    assert_eq!(frozen.plan().writes().count(), 2);
    assert_eq!(frozen.plan().actions()["blocked"], 1);
}

#[test]
fn one_changed_byte_is_another_plan() {
    let frozen =
        plan(vec![node("a", NodeAction::Update)]).freeze(Timestamp::from_micros(0)).unwrap();
    for at in 0..frozen.bytes().len() {
        let mut bytes = frozen.bytes().to_vec();
        bytes[at] ^= 1;
        assert!(FrozenPlan::read(bytes, frozen.hash(), frozen.expires_at()).is_err(), "{at}");
    }
}

#[test]
fn equal_plans_have_equal_hashes_and_others_others() {
    let hash =
        |plan: RestorePlan, at| plan.freeze(Timestamp::from_micros(at)).unwrap().hash().clone();
    let one = || plan(vec![node("a", NodeAction::Update)]);
    assert_eq!(
        hash(one(), 1),
        hash(one(), 2),
        "the hash is of what is done, not of when it was made"
    );
    let mut other = one();
    other.stop_on_failure = true;
    assert_ne!(hash(one(), 1), hash(other, 1));
}

#[test]
fn what_cannot_be_carried_out_is_no_plan() {
    let mut twice = plan(vec![node("a", NodeAction::Update), node("a", NodeAction::Update)]);
    assert!(twice.clone().freeze(Timestamp::from_micros(0)).is_err());
    twice.nodes.pop();
    twice.nodes[0].wanted = None;
    assert!(twice.clone().freeze(Timestamp::from_micros(0)).is_err());
    let mut late = node("b", NodeAction::Create);
    late.binds = vec![Bind { pointer: "/object/x".to_owned(), node: "c".to_owned() }];
    let backwards = plan(vec![late, node("c", NodeAction::Create)]);
    assert!(backwards.freeze(Timestamp::from_micros(0)).is_err(), "the order is the plan's");
    let mut based = node("d", NodeAction::Create);
    based.base = node("x", NodeAction::Update).base;
    assert!(plan(vec![based]).freeze(Timestamp::from_micros(0)).is_err());
}
