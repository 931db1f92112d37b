package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/jsii-runtime-go"
)

// network is where executors stand that reach devices in a VPC.
type network struct {
	config map[string]any // VpcConfig of a function
}

// What Lambda does in the executor's name to put it into subnets. These
// actions know no resources.
const networkSid = "JoinNetwork"

var networkActions = []string{
	"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
	"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
}

// The AWS services that an executor calls. The two with gateway endpoints cost
// nothing there. Its log is taken by Lambda, and it starts no executions, so
// that neither needs an endpoint.
var (
	gatewayServices   = []string{"dynamodb", "s3"}
	interfaceServices = []string{"events", "kms"}
)

// addNetwork reads the context: "vpcId" puts executors into the subnets
// "subnetIds" of that VPC. What they need of AWS they reach through endpoints
// that the stack makes, the gateways' in the route tables "routeTableIds";
// or, with "vpcEgress" = "existing", through what the VPC has: a NAT gateway or
// endpoints of its own.
func (s *stack) addNetwork() {
	vpc := s.contextText("vpcId")
	subnets, tables, egress := s.contextList("subnetIds"), s.contextList("routeTableIds"), s.contextText("vpcEgress")
	switch {
	case vpc == "" && (len(subnets) > 0 || len(tables) > 0 || egress != ""):
		panic("context vpcId is missing, and subnetIds is set, or routeTableIds, or vpcEgress")
	case vpc == "":
		return
	case len(subnets) == 0:
		panic("context vpcId needs subnetIds: private subnets of the VPC, separated by commas")
	case egress != "" && egress != "endpoints" && egress != "existing":
		panic("context vpcEgress is endpoints or existing, not " + egress)
	case egress != "existing" && len(tables) == 0:
		panic("context vpcId needs routeTableIds, the route tables of its subnets, or vpcEgress=existing")
	}
	group := s.addGroup("ExecutorGroup", vpc, "executors of Drover, which reach devices", &awsec2.CfnSecurityGroupProps{
		// Devices listen where they like.
		SecurityGroupEgress: []any{&awsec2.CfnSecurityGroup_EgressProperty{
			IpProtocol: jsii.String("-1"), CidrIp: jsii.String("0.0.0.0/0"), Description: jsii.String("devices and AWS")}},
	})
	s.net = &network{config: map[string]any{"SubnetIds": subnets, "SecurityGroupIds": []any{group.AttrGroupId()}}}
	if egress == "existing" {
		return
	}
	endpoint := func(id, service string, props awsec2.CfnVPCEndpointProps) {
		props.VpcId = &vpc
		props.ServiceName = jsii.String("com.amazonaws." + *awscdk.Aws_REGION() + "." + service)
		awsec2.NewCfnVPCEndpoint(s.cdk, jsii.String(id), &props)
	}
	for _, service := range gatewayServices {
		endpoint("Gateway-"+service, service, awsec2.CfnVPCEndpointProps{
			VpcEndpointType: jsii.String("Gateway"), RouteTableIds: jsii.AnyStrings(tables...)})
	}
	inward := s.addGroup("EndpointGroup", vpc, "AWS services for the executors of Drover", &awsec2.CfnSecurityGroupProps{
		SecurityGroupIngress: []any{&awsec2.CfnSecurityGroup_IngressProperty{
			IpProtocol: jsii.String("tcp"), FromPort: jsii.Number(443), ToPort: jsii.Number(443),
			SourceSecurityGroupId: group.AttrGroupId(), Description: jsii.String("executors")}},
	})
	for _, service := range interfaceServices {
		endpoint("Interface-"+service, service, awsec2.CfnVPCEndpointProps{
			VpcEndpointType: jsii.String("Interface"), SubnetIds: jsii.AnyStrings(subnets...), PrivateDnsEnabled: jsii.Bool(true),
			SecurityGroupIds: &[]any{inward.AttrGroupId()}})
	}
}

func (s *stack) addGroup(id, vpc, description string, props *awsec2.CfnSecurityGroupProps) awsec2.CfnSecurityGroup {
	props.VpcId, props.GroupDescription = &vpc, &description
	return awsec2.NewCfnSecurityGroup(s.cdk, &id, props)
}
